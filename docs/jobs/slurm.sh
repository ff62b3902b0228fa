#!/bin/bash
# Data-parallel training under Slurm: one rank a node, all cores of it. Slurm warns two minutes before it takes a node away or the time
# is up; the run then saves its state and ends, and the job is put into the queue again and goes on where it stopped.
#SBATCH --job-name=hybrid
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

out=runs/$SLURM_JOB_ID # of this job alone, which keeps its number in the queue
saved() { compgen -G "$out/*/checkpoints/*/COMPLETE" >/dev/null; }
if saved; then
  rm -f "$out"/*/lock.json # of a rank 0 that was lost with its node: a job runs once at a time
  what=(--resume --out "$out")
else
  what=(--arch convmixer-2stage --recipe fast --data "$SCRATCH/cifar-10-batches-bin" --batch 1024 --out "$out" --checkpoint-every 5m)
fi

# The program itself and not npx, which would lose the connection to the launcher. For Open MPI: --mpi=pmix (not tried).
srun --mpi=pmi2 --kill-on-bad-exit=0 node node_modules/.bin/hybrid train "${what[@]}" --distributed mpi --rank-timeout 120
status=$?
echo "job $SLURM_JOB_ID, start ${SLURM_RESTART_COUNT:-0}: training ended with status $status" >&2

# 143: stopped by SIGTERM, the state is saved. 137: a rank was lost, and Slurm has ended the others; the last checkpoint is intact.
if [[ $status == 143 || $status == 137 ]] && saved && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $status
