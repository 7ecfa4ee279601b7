"""The same command goes on after Snakemake itself was killed.

reads    .snakemake/, the queue of SLURM where there is one
writes   .snakemake/runs/
"""

import signal

from scripts import recovery

if not workflow.is_main_process:
    # SLURM's notice before the end of a walltime goes to all processes of a job. It is for the training, which needs
    # the Snakemake around it until it has saved.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

elif not workflow.output_settings.dryrun:
    run_record = recovery.Run(Path.cwd() / ".snakemake")
    run_record.enter()
    run_record.unlock(logger.info)

    # After the lock is taken, and before the first job.
    onstart:
        if workflow.non_local_exec:
            run_record.will_submit()
        run_record.cancel_leftovers(logger.info)
