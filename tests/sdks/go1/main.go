// The metadata client, and every operation of FleetIQ, through the AWS SDK for Go v1.
// It ends with 1 at the first reply that is not as the SDK's own documentation has it.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/ec2metadata"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/gamelift"
)

func check(isTrue bool, what ...interface{}) {
	if !isTrue {
		fmt.Fprintln(os.Stderr, what...)
		os.Exit(1)
	}
}

func must(err error) { check(err == nil, err) }

func fails(code string, err error) {
	failure, isError := err.(awserr.Error)
	check(isError && failure.Code() == code && failure.Message() != "", "not", code, "but", err)
}

func isNow(when *time.Time) { check(time.Since(*when).Seconds() < 60, when, "is not now") }

func metadata(current *session.Session) {
	client := ec2metadata.New(current)
	check(client.Available(), "no metadata service")
	region, err := client.Region()
	must(err)
	check(region == os.Getenv("AWS_REGION"), region)
	document, err := client.GetInstanceIdentityDocument()
	must(err)
	instance, err := client.GetMetadata("instance-id")
	must(err)
	check(document.InstanceID == instance && document.Region == region, document)
	info, err := client.IAMInfo()
	must(err)
	check(strings.HasSuffix(info.InstanceProfileArn, "instance-profile/fleetiq-local"), info)
	credentials, err := current.Config.Credentials.Get()
	must(err)
	check(credentials.ProviderName == "EC2RoleProvider", credentials)
	_, err = client.GetMetadata("spot/instance-action")
	failure, isFailure := err.(awserr.RequestFailure)
	check(isFailure && failure.StatusCode() == 404, err)
}

func main() {
	current := session.Must(session.NewSession())
	metadata(current)
	client := gamelift.New(current, aws.NewConfig().WithEndpoint(os.Getenv("AWS_ENDPOINT_URL_GAMELIFT")))
	local, created := aws.String("local"), aws.String("created")
	one, other := aws.String("srv-1"), aws.String("srv-2")

	instances, err := client.DescribeGameServerInstances(
		&gamelift.DescribeGameServerInstancesInput{GameServerGroupName: local})
	must(err)
	instance := instances.GameServerInstances[0].InstanceId
	register := &gamelift.RegisterGameServerInput{GameServerGroupName: local, GameServerId: one,
		InstanceId: instance, ConnectionInfo: aws.String("localhost:5000"), GameServerData: aws.String(`{"map": "섬"}`)}
	registered, err := client.RegisterGameServer(register)
	must(err)
	isNow(registered.GameServer.RegistrationTime)
	check(*registered.GameServer.GameServerData == `{"map": "섬"}`, registered)
	_, err = client.RegisterGameServer(register)
	fails("ConflictException", err)
	_, err = client.RegisterGameServer(&gamelift.RegisterGameServerInput{
		GameServerGroupName: local, GameServerId: other, InstanceId: instance})
	must(err)
	described, err := client.DescribeGameServer(
		&gamelift.DescribeGameServerInput{GameServerGroupName: local, GameServerId: one})
	must(err)
	check(*described.GameServer.ConnectionInfo == "localhost:5000", described)
	ids := ""
	must(client.ListGameServersPages(&gamelift.ListGameServersInput{GameServerGroupName: local,
		Limit: aws.Int64(1), SortOrder: aws.String("DESCENDING")},
		func(page *gamelift.ListGameServersOutput, _ bool) bool {
			for _, each := range page.GameServers {
				ids += *each.GameServerId + " "
			}
			return true
		}))
	check(ids == "srv-2 srv-1 ", ids)

	claimed, err := client.ClaimGameServer(&gamelift.ClaimGameServerInput{GameServerGroupName: local})
	must(err)
	check(*claimed.GameServer.GameServerId == "srv-1" && *claimed.GameServer.ClaimStatus == "CLAIMED", claimed)
	isNow(claimed.GameServer.LastClaimTime)
	_, err = client.ClaimGameServer(
		&gamelift.ClaimGameServerInput{GameServerGroupName: local, GameServerId: other})
	must(err)
	_, err = client.ClaimGameServer(&gamelift.ClaimGameServerInput{GameServerGroupName: local})
	fails("OutOfCapacityException", err)
	updated, err := client.UpdateGameServer(&gamelift.UpdateGameServerInput{GameServerGroupName: local,
		GameServerId: one, UtilizationStatus: aws.String("UTILIZED"), HealthCheck: aws.String("HEALTHY")})
	must(err)
	check(*updated.GameServer.UtilizationStatus == "UTILIZED" && updated.GameServer.ClaimStatus == nil, updated)
	deregister := &gamelift.DeregisterGameServerInput{GameServerGroupName: local, GameServerId: one}
	_, err = client.DeregisterGameServer(deregister)
	must(err)
	_, err = client.DeregisterGameServer(deregister)
	fails("NotFoundException", err)

	group, err := client.CreateGameServerGroup(&gamelift.CreateGameServerGroupInput{
		GameServerGroupName: created, RoleArn: aws.String("arn:aws:iam::000000000000:role/FleetIQ"),
		MinSize: aws.Int64(0), MaxSize: aws.Int64(1),
		LaunchTemplate: &gamelift.LaunchTemplateSpecification{LaunchTemplateName: aws.String("game")},
		InstanceDefinitions: []*gamelift.InstanceDefinition{
			{InstanceType: aws.String("c5.large")}, {InstanceType: aws.String("c5a.large")}},
		Tags: []*gamelift.Tag{{Key: aws.String("game"), Value: aws.String("echo")}}})
	must(err)
	isNow(group.GameServerGroup.CreationTime)
	arn := group.GameServerGroup.GameServerGroupArn
	_, err = client.DescribeGameServerGroup(
		&gamelift.DescribeGameServerGroupInput{GameServerGroupName: created})
	must(err)
	_, err = client.UpdateGameServerGroup(&gamelift.UpdateGameServerGroupInput{
		GameServerGroupName: created, BalancingStrategy: aws.String("SPOT_ONLY")})
	must(err)
	actions := []*string{aws.String("REPLACE_INSTANCE_TYPES")}
	_, err = client.SuspendGameServerGroup(
		&gamelift.SuspendGameServerGroupInput{GameServerGroupName: created, SuspendActions: actions})
	must(err)
	resumed, err := client.ResumeGameServerGroup(
		&gamelift.ResumeGameServerGroupInput{GameServerGroupName: created, ResumeActions: actions})
	must(err)
	check(*resumed.GameServerGroup.BalancingStrategy == "SPOT_ONLY", resumed)
	groups, err := client.ListGameServerGroups(&gamelift.ListGameServerGroupsInput{})
	must(err)
	check(len(groups.GameServerGroups) == 2, groups)

	_, err = client.TagResource(&gamelift.TagResourceInput{ResourceARN: arn,
		Tags: []*gamelift.Tag{{Key: aws.String("team"), Value: aws.String("")}}})
	must(err)
	_, err = client.UntagResource(
		&gamelift.UntagResourceInput{ResourceARN: arn, TagKeys: []*string{aws.String("game")}})
	must(err)
	tags, err := client.ListTagsForResource(&gamelift.ListTagsForResourceInput{ResourceARN: arn})
	must(err)
	check(len(tags.Tags) == 1 && *tags.Tags[0].Key == "team", tags)
	_, err = client.ListTagsForResource(
		&gamelift.ListTagsForResourceInput{ResourceARN: aws.String(*arn + "-other")})
	fails("NotFoundException", err)
	deleted, err := client.DeleteGameServerGroup(&gamelift.DeleteGameServerGroupInput{
		GameServerGroupName: local, DeleteOption: aws.String("FORCE_DELETE")})
	must(err)
	check(*deleted.GameServerGroup.Status == "DELETE_SCHEDULED", deleted)
	fmt.Println(aws.SDKName, aws.SDKVersion)
}
