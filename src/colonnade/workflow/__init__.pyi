from .folder import load_run as load_run
from .run import run_workflow as run_workflow
from .settings import Workflow as Workflow, load_workflow as load_workflow
