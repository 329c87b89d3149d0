"""botocore's clients of the instance metadata, against the local FleetIQ."""

import os
import sys
from typing import Any

import botocore
from botocore.session import Session
from botocore.utils import IMDSFetcher, InstanceMetadataFetcher, InstanceMetadataRegionFetcher


class AnyPath(IMDSFetcher):  # type: ignore[misc] # botocore ships no types
    """The base of botocore's fetchers, for any path."""

    def get(self, path: str) -> Any:
        token = self._fetch_metadata_token()
        assert token, "no token"
        return self._get_request(path, None, token).text


def main() -> None:
    url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    credentials = InstanceMetadataFetcher(base_url=url).retrieve_iam_role_credentials()
    assert (credentials["role_name"], credentials["access_key"]) == ("fleetiq-local", "local")
    region = InstanceMetadataRegionFetcher(base_url=url).retrieve_region()
    assert region == os.environ["AWS_REGION"], region
    path = "latest/meta-data/instance-id"
    assert AnyPath(base_url=url).get(path).startswith("i-")
    found = Session().get_credentials()
    assert found.method == "iam-role", found.method
    sys.stdout.write(f"botocore {botocore.__version__}\n")


if __name__ == "__main__":
    main()
