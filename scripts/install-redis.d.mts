/** Path of an installed server, or null. */
export function findRedis(env?: NodeJS.ProcessEnv): string | null;
/** Why the tests cannot have Redis here, or null. */
export function redisObstacle(env?: NodeJS.ProcessEnv): string | null;
