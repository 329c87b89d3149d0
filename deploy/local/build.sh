#!/bin/sh
# Install the local FleetIQ of a clone into its own folder: build.sh CLONE FOLDER
# The Dockerfile runs it, and deploy/run_dockerfiles.py where there is no Docker.
set -eu
clone=$1 folder=$2

python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --no-cache-dir --no-compile "$clone"
cp "$clone/deploy/local/healthcheck.py" "$folder"

# The local FleetIQ reads the model of GameLift alone, and needs no pip.
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name gamelift -exec rm -r {} +
"$folder/bin/pip" uninstall --quiet --yes pip

# Done now, because the user of the container cannot write: byte code, and Twisted's list of plugins.
# Modules of txaws that are still for Python 2 are not used.
"$folder/bin/python" -m compileall -q "$folder/lib" >/dev/null || true
"$folder/bin/twistd" --help >/dev/null
