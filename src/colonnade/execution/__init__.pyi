from .cache import CacheSettings as CacheSettings, ResultCache as ResultCache
from .ledger import DatasetLedger as DatasetLedger, Ledger as Ledger, Loss as Loss, StoppedError as StoppedError
from .progress import NO_PROGRESS as NO_PROGRESS, Progress as Progress
from .result import Result as Result
from .run import run_datasets as run_datasets
from .settings import ExecutorSettings as ExecutorSettings
