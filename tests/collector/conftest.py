import sys
from pathlib import Path

# Lets the tests here import `collector_helpers`: under importlib mode no test folder is on the path.
sys.path.append(str(Path(__file__).parent))
