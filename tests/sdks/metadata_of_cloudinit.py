"""cloud-init's EC2 data source, against the local FleetIQ at the endpoint variable."""

import os
import sys
from typing import Any

from cloudinit import version  # type: ignore[import-not-found]
from cloudinit.distros import debian  # type: ignore[import-not-found]
from cloudinit.helpers import Paths  # type: ignore[import-not-found]
from cloudinit.sources.DataSourceEc2 import (  # type: ignore[import-not-found]
    CloudNames,
    DataSourceEc2,
)


def main() -> None:
    url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    paths = Paths({"cloud_dir": os.getcwd(), "run_dir": os.getcwd()})
    distro = debian.Distro("debian", {}, paths)
    configuration = {"datasource": {"Ec2": {"metadata_urls": [url]}}}
    source: Any = DataSourceEc2(configuration, distro, paths)
    # It would read this from the machine's firmware.
    source._cloud_name = CloudNames.AWS
    assert source.wait_for_metadata_service(), "no metadata service"
    crawled = source.crawl_metadata()
    source.metadata = crawled["meta-data"]
    source.identity = crawled["dynamic"]["instance-identity"]["document"]
    assert source.get_instance_id() == source.identity["instanceId"], crawled
    assert source.region == os.environ["AWS_REGION"], source.region
    assert source.availability_zone == source.identity["availabilityZone"]
    assert source.get_public_ssh_keys()[0].startswith("ssh-ed25519 "), crawled
    assert source.metadata["network"]["interfaces"]["macs"], crawled
    sys.stdout.write(f"cloud-init {version.version_string()}\n")


if __name__ == "__main__":
    main()
