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

run=runs/convmixer
if [ -d "$run/checkpoints" ]; then
  what=(--resume "$run")
else
  what=(--arch convmixer-2stage --recipe fast --data "$SCRATCH/cifar-10-batches-bin" --batch 1024 --out runs --name convmixer --checkpoint-every 5m)
fi

# The program itself and not npx, which would lose the connection to the launcher.
srun node node_modules/.bin/hybrid train "${what[@]}" --distributed mpi --rank-timeout 120
status=$?

# 143: stopped by SIGTERM, state saved. 11: a rank was lost with its node; the last checkpoint is intact.
if [ $status -eq 143 ] || [ $status -eq 11 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $status
