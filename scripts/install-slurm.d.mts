/** Programs of Slurm that are missing. */
export function missingSlurm(env?: NodeJS.ProcessEnv): string[];
/** Why the tests cannot have Slurm here, or null. */
export function slurmObstacle(env?: NodeJS.ProcessEnv): string | null;
