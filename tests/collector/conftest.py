import sys
from pathlib import Path

# So that `collector_helpers` can be imported: importlib mode puts no test folder on the path.
sys.path.append(str(Path(__file__).parent))
