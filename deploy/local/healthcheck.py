"""The health check of the container: exit status 0 if the local FleetIQ responds, else 1."""

import sys
from urllib.request import urlopen

url = sys.argv[1]
try:
    with urlopen(f"{url}/_local/groups", timeout=2) as response:
        sys.exit(0 if response.status == 200 else 1)
except OSError as error:
    sys.exit(f"{url} does not respond: {error}")
