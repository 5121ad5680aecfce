/** The batch script of a job array. */

/** A word for the shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A path in a directive, where % stands for fields and blanks end a word. */
const directivePath = (path: string): string => `"${path.replaceAll('%', '%%')}"`;

/** Tasks of one array. */
export interface Chunk {
  /** Added to the index in the array, it is the task's. */
  offset: number;
  /** Indices in the array, ascending. */
  indices: number[];
}

/** Arrays of tasks whose indices stay below the site's MaxArraySize, which bounds the index and not the length. */
export function chunksOf(tasks: readonly number[], maxArraySize: number): Chunk[] {
  const chunks = new Map<number, number[]>();
  for (const task of tasks) {
    const chunk = Math.floor(task / maxArraySize);
    chunks.set(chunk, [...(chunks.get(chunk) ?? []), task % maxArraySize]);
  }
  return [...chunks].map(([chunk, indices]) => ({ offset: chunk * maxArraySize, indices }));
}

/** Indices as Slurm writes them: `0-3,7`. */
export function ranges(indices: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const index of indices) {
    const last = parts.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else parts.push([index, index]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}

export interface ScriptSettings {
  name: string;
  /** Absolute paths: the sweep, and the folder of the logs. */
  dir: string;
  logs: string;
  /** The words that start the command line. */
  program: readonly string[];
  chunk: Chunk;
  /** Tasks of the array at once; null for as many as Slurm starts. */
  atOnce: number | null;
}

/** Times that a run killed by SIGKILL is begun again: what used too much memory once may do so again. */
const KILLS = 3;

/**
 * The text of the script. A run that is taken away saves and ends before its job does; a job that ends by itself counts
 * as completed, and one at its time limit is not begun again, so the script puts both back into the queue.
 */
export function slurmScript({ name, dir, logs, program, chunk, atOnce }: ScriptSettings): string {
  const limit = atOnce === null ? '' : `%${atOnce}`;
  return `#!/bin/bash
#SBATCH --job-name=${name}
#SBATCH --array=${ranges(chunk.indices)}${limit}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=${directivePath(`${logs}/%A_%a.log`).replace('%%A_%%a', '%A_%a')}

program=(${program.map(quoted).join(' ')})
sweep=${quoted(dir)}
index=$((${chunk.offset} + SLURM_ARRAY_TASK_ID))
job=\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}

# Threads of a software adapter: the processors of this job, not those of the node. Other adapters do not read it.
export LP_NUM_THREADS=\${LP_NUM_THREADS:-\${SLURM_CPUS_PER_TASK:-\${SLURM_CPUS_ON_NODE:-1}}}
# srun does not take this over from the job.
if [ -n "\${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
# Compiled shaders stay on the node: a file system of the network is slow at many small files. Vector widths apart.
shaders=\${TMPDIR:-/tmp}/deep-rfm-shaders-$(id -u)/\${LP_NATIVE_VECTOR_WIDTH:-own}
if mkdir -p -m 700 "$shaders" && [ -O "$shaders" ]; then
  export MESA_SHADER_CACHE_DIR=\${MESA_SHADER_CACHE_DIR:-$shaders} __GL_SHADER_DISK_CACHE_PATH=\${__GL_SHADER_DISK_CACHE_PATH:-$shaders}
fi

# At the time limit this script gets TERM, too. It stays, to put the job back into the queue.
trap : TERM

# Back into the queue. Slurm ends this script when it has taken the job back. Put back when it is cancelled, a job would
# come to life again: it neither runs then, nor has it reached its time limit.
again() {
  case $(scontrol show job "$job" --oneliner) in
    *' JobState=RUNNING '* | *' Reason=TimeLimit '*)
      echo "sweep: task $index goes back into the queue: $1"
      scontrol requeue "$job" && sleep 900
      ;;
  esac
}

# A step of srun hears of a preemption at once; what the script starts itself only when its time is up.
srun --ntasks=1 "\${program[@]}" sweep task "$sweep" --index "$index"
code=$?
case $code in
  130 | 143) again 'it was taken away' ;;
  137) if [ "\${SLURM_RESTART_COUNT:-0}" -lt ${KILLS} ]; then again 'it was killed, maybe out of memory'; fi ;;
esac
exit $code
`;
}
