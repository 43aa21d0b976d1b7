"""Written for torc; only the import line is another one."""

import os

from torcd.client import make_api, torc_settings

api = make_api(torc_settings.database_url)
workflow_key = os.environ["TORC_WORKFLOW_KEY"]
job_key = os.environ["TORC_JOB_KEY"]

for record in api.list_job_user_data_consumes(workflow_key, job_key).items:
    print(record.name, record.data)
