"""Written for torc; only the import line is another one."""

import os

from torcd.client import make_api, torc_settings

api = make_api(torc_settings.database_url)
workflow_key = os.environ["TORC_WORKFLOW_KEY"]
job_key = os.environ["TORC_JOB_KEY"]

output = api.list_job_user_data_stores(workflow_key, job_key).items[0]
output.data = {"result": 1.2}
api.add_user_data(workflow_key, output.key, output)
