#!/usr/bin/env bash
# Every operation of FleetIQ through the AWS CLI, which finds the local FleetIQ by its two variables.
# Ends with 1 at the first answer that is not as the CLI's own documentation has it.
set -euo pipefail

# says EXPECTED OPERATION ... : what a call prints, made of its reply by --query.
says() {
  local expected=$1 said
  shift
  said=$(aws gamelift "$@" --output text)
  [[ $said == "$expected" ]] || { echo "aws gamelift $*: '$said' is not '$expected'" >&2; exit 1; }
}
# fails ERROR OPERATION ... : the error of a call that must fail.
fails() {
  local error=$1 said
  shift
  if said=$(aws gamelift "$@" 2>&1) || [[ $said != *"($error) when calling the "*" operation"*": "* ]]; then
    echo "aws gamelift $*: not refused with $error: $said" >&2
    exit 1
  fi
}
# isNow TIME: as the CLI prints it, ISO 8601 or the seconds of the wire.
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
read -r time said < <(aws gamelift register-game-server "${one[@]}" "${instance[@]}" --connection-info localhost:5000 \
  --game-server-data "$data" --query 'GameServer.[RegistrationTime, GameServerData]' --output text)
isNow "$time"
[[ $said == "$data" ]]
fails ConflictException register-game-server "${one[@]}" "${instance[@]}"
says AVAILABLE register-game-server "${other[@]}" "${instance[@]}" --query GameServer.UtilizationStatus
says localhost:5000 describe-game-server "${one[@]}" --query GameServer.ConnectionInfo
says $'srv-2\nsrv-1' list-game-servers "${local[@]}" --sort-order DESCENDING --page-size 1 \
  --query 'GameServers[].[GameServerId]'

read -r server status time < <(aws gamelift claim-game-server "${local[@]}" \
  --filter-option InstanceStatuses=ACTIVE,DRAINING \
  --query 'GameServer.[GameServerId, ClaimStatus, LastClaimTime]' --output text)
[[ "$server $status" == "srv-1 CLAIMED" ]]
isNow "$time"
says CLAIMED claim-game-server "${other[@]}" --query GameServer.ClaimStatus
fails OutOfCapacityException claim-game-server "${local[@]}"
says $'UTILIZED\tNone' update-game-server "${one[@]}" --utilization-status UTILIZED --health-check HEALTHY \
  --query 'GameServer.[UtilizationStatus, ClaimStatus]'
fails InvalidRequestException update-game-server "${one[@]}" --utilization-status AVAILABLE
says "" deregister-game-server "${one[@]}"
fails NotFoundException deregister-game-server "${one[@]}"

read -r time arn < <(aws gamelift create-game-server-group "${created[@]}" \
  --role-arn arn:aws:iam::000000000000:role/FleetIQ --min-size 0 --max-size 1 \
  --launch-template LaunchTemplateName=game \
  --instance-definitions InstanceType=c5.large InstanceType=c5a.large --tags Key=game,Value=echo \
  --query 'GameServerGroup.[CreationTime, GameServerGroupArn]' --output text)
isNow "$time"
says "$arn" describe-game-server-group "${created[@]}" --query GameServerGroup.GameServerGroupArn
says SPOT_ONLY update-game-server-group "${created[@]}" --balancing-strategy SPOT_ONLY \
  --query GameServerGroup.BalancingStrategy
says REPLACE_INSTANCE_TYPES suspend-game-server-group "${created[@]}" --suspend-actions REPLACE_INSTANCE_TYPES \
  --query 'GameServerGroup.SuspendedActions[]'
says "" resume-game-server-group "${created[@]}" --resume-actions REPLACE_INSTANCE_TYPES \
  --query 'GameServerGroup.SuspendedActions[]'
says $'created\nlocal' list-game-server-groups --page-size 1 --query 'GameServerGroups[].[GameServerGroupName]'

says "" tag-resource --resource-arn "$arn" --tags Key=team,Value=
says "" untag-resource --resource-arn "$arn" --tag-keys game
says team list-tags-for-resource --resource-arn "$arn" --query 'Tags[].Key'
fails NotFoundException list-tags-for-resource --resource-arn "$arn-other"

says DELETE_SCHEDULED delete-game-server-group "${local[@]}" --delete-option FORCE_DELETE --query GameServerGroup.Status
aws --version
