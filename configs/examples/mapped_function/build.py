"""Print a workflow that calls a function with many sets of parameters.

    python build.py | torcctl run -
    torcctl data get dice_postprocess_result

Every set is a job, `dice_1` to `dice_20`; `dice_postprocess` gets their results. The job `show`
is one of another kind, which waits for the final result.
"""

import sys

import simulation  # the file beside this one

from torcd.spec import JobSpec, WorkflowSpec, dump, map_function

mapped = map_function(
    simulation.run,
    [{"seed": seed, "dice": 2, "rolls": 1000} for seed in range(1, 21)],
    name="dice",
    postprocess=simulation.postprocess,
)
show = JobSpec(
    name="show",
    command="torcctl data get dice_postprocess_result",
    input_user_data=("dice_postprocess_result",),
)
workflow = WorkflowSpec(
    name="mapped_function", jobs=(*mapped.jobs, show), user_data=mapped.user_data
)
sys.stdout.buffer.write(dump(workflow))
