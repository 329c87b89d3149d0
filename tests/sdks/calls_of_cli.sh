#!/usr/bin/env bash
# Call each operation of FleetIQ with the AWS CLI, which gets the URLs from its environment variables.
# Exits with 1 at the first output that differs from the documentation of the CLI.
set -euo pipefail

# A CLI older than 1.29 or 2.13 gets the endpoint as an option. It has no FilterOption.
filter=(--filter-option InstanceStatuses=ACTIVE,DRAINING)
if [[ ${ENDPOINT_URL:-} ]]; then filter=(); fi
aws() { command aws ${ENDPOINT_URL:+--endpoint-url "$ENDPOINT_URL"} "$@"; }

# prints EXPECTED OPERATION ... : check the output of a call, which --query selects from the reply.
prints() {
  local expected=$1 output
  shift
  output=$(aws gamelift "$@" --output text)
  [[ $output == "$expected" ]] || { echo "aws gamelift $*: '$output' is not '$expected'" >&2; exit 1; }
}
# fails ERROR OPERATION ... : check that a call fails with this error.
fails() {
  local error=$1 output
  shift
  if output=$(aws gamelift "$@" 2>&1) || [[ $output != *"($error) when calling the "*" operation"*": "* ]]; then
    echo "aws gamelift $*: did not fail with $error: $output" >&2
    exit 1
  fi
}
# isNow TIME: check that a time, ISO 8601 or in seconds, is at most a minute from the current time.
isNow() {
  local time=$1
  [[ $time == *-* ]] && time=$(date -d "$time" +%s)
  (( ${time%.*} - $(date +%s) < 60 && $(date +%s) - ${time%.*} < 60 )) || { echo "$1 is not now" >&2; exit 1; }
}

local=(--game-server-group-name local)
one=("${local[@]}" --game-server-id srv-1)
other=("${local[@]}" --game-server-id srv-2)
created=(--game-server-group-name created)
data='{"map": "섬"}'

instance=(--instance-id "$(aws gamelift describe-game-server-instances "${local[@]}" \
  --query 'GameServerInstances[0].InstanceId' --output text)")
read -r time output < <(aws gamelift register-game-server "${one[@]}" "${instance[@]}" --connection-info localhost:5000 \
  --game-server-data "$data" --query 'GameServer.[RegistrationTime, GameServerData]' --output text)
isNow "$time"
[[ $output == "$data" ]]
fails ConflictException register-game-server "${one[@]}" "${instance[@]}"
prints AVAILABLE register-game-server "${other[@]}" "${instance[@]}" --query GameServer.UtilizationStatus
prints localhost:5000 describe-game-server "${one[@]}" --query GameServer.ConnectionInfo
prints $'srv-2\nsrv-1' list-game-servers "${local[@]}" --sort-order DESCENDING --page-size 1 \
  --query 'GameServers[].[GameServerId]'

read -r server status time < <(aws gamelift claim-game-server "${local[@]}" \
  "${filter[@]}" \
  --query 'GameServer.[GameServerId, ClaimStatus, LastClaimTime]' --output text)
[[ "$server $status" == "srv-1 CLAIMED" ]]
isNow "$time"
prints CLAIMED claim-game-server "${other[@]}" --query GameServer.ClaimStatus
fails OutOfCapacityException claim-game-server "${local[@]}"
prints $'UTILIZED\tNone' update-game-server "${one[@]}" --utilization-status UTILIZED --health-check HEALTHY \
  --query 'GameServer.[UtilizationStatus, ClaimStatus]'
fails InvalidRequestException update-game-server "${one[@]}" --utilization-status AVAILABLE
prints "" deregister-game-server "${one[@]}"
fails NotFoundException deregister-game-server "${one[@]}"

read -r time arn < <(aws gamelift create-game-server-group "${created[@]}" \
  --role-arn arn:aws:iam::000000000000:role/FleetIQ --min-size 0 --max-size 1 \
  --launch-template LaunchTemplateName=game \
  --instance-definitions InstanceType=c5.large InstanceType=c5a.large --tags Key=game,Value=echo \
  --query 'GameServerGroup.[CreationTime, GameServerGroupArn]' --output text)
isNow "$time"
prints "$arn" describe-game-server-group "${created[@]}" --query GameServerGroup.GameServerGroupArn
prints SPOT_ONLY update-game-server-group "${created[@]}" --balancing-strategy SPOT_ONLY \
  --query GameServerGroup.BalancingStrategy
prints REPLACE_INSTANCE_TYPES suspend-game-server-group "${created[@]}" --suspend-actions REPLACE_INSTANCE_TYPES \
  --query 'GameServerGroup.SuspendedActions[]'
prints "" resume-game-server-group "${created[@]}" --resume-actions REPLACE_INSTANCE_TYPES \
  --query 'GameServerGroup.SuspendedActions[]'
prints $'created\nlocal' list-game-server-groups --page-size 1 --query 'GameServerGroups[].[GameServerGroupName]'

prints "" tag-resource --resource-arn "$arn" --tags Key=team,Value=
prints "" untag-resource --resource-arn "$arn" --tag-keys game
prints team list-tags-for-resource --resource-arn "$arn" --query 'Tags[].Key'
fails NotFoundException list-tags-for-resource --resource-arn "$arn-other"

# The credentials are those of the instance metadata.
[[ $(command aws configure list) == *iam-role* ]]
prints DELETE_SCHEDULED delete-game-server-group "${local[@]}" --delete-option FORCE_DELETE --query GameServerGroup.Status
command aws --version
