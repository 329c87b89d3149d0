// The metadata client, and every operation of FleetIQ, through the AWS SDK for Go v2.
// It ends with 1 at the first reply that is not as the SDK's own documentation has it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

var ctx = context.Background()

func check(isTrue bool, what ...interface{}) {
	if !isTrue {
		fmt.Fprintln(os.Stderr, what...)
		os.Exit(1)
	}
}

func must(err error) { check(err == nil, err) }

func isNow(when *time.Time) { check(time.Since(*when).Seconds() < 60, when, "is not now") }

func metadata(current aws.Config) {
	client := imds.NewFromConfig(current)
	region, err := client.GetRegion(ctx, &imds.GetRegionInput{})
	must(err)
	check(region.Region == os.Getenv("AWS_REGION"), region)
	document, err := client.GetInstanceIdentityDocument(ctx, &imds.GetInstanceIdentityDocumentInput{})
	must(err)
	reply, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "instance-id"})
	must(err)
	instance, err := io.ReadAll(reply.Content)
	must(err)
	check(document.InstanceID == string(instance) && document.Region == region.Region, document)
	info, err := client.GetIAMInfo(ctx, &imds.GetIAMInfoInput{})
	must(err)
	check(strings.HasSuffix(info.InstanceProfileArn, "instance-profile/fleetiq-local"), info)
	credentials, err := current.Credentials.Retrieve(ctx)
	must(err)
	check(credentials.Source == "EC2RoleProvider", credentials)
	_, err = client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "spot/instance-action"})
	check(err != nil && strings.Contains(err.Error(), "404"), err)
}

func main() {
	current, err := config.LoadDefaultConfig(ctx)
	must(err)
	metadata(current)
	client := gamelift.NewFromConfig(current, func(options *gamelift.Options) {
		options.EndpointResolver = gamelift.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_GAMELIFT"))
	})
	local, created := aws.String("local"), aws.String("created")
	one, other := aws.String("srv-1"), aws.String("srv-2")

	instances, err := client.DescribeGameServerInstances(ctx,
		&gamelift.DescribeGameServerInstancesInput{GameServerGroupName: local})
	must(err)
	instance := instances.GameServerInstances[0].InstanceId
	register := &gamelift.RegisterGameServerInput{GameServerGroupName: local, GameServerId: one,
		InstanceId: instance, ConnectionInfo: aws.String("localhost:5000"), GameServerData: aws.String(`{"map": "섬"}`)}
	registered, err := client.RegisterGameServer(ctx, register)
	must(err)
	isNow(registered.GameServer.RegistrationTime)
	check(*registered.GameServer.GameServerData == `{"map": "섬"}`, registered)
	_, err = client.RegisterGameServer(ctx, register)
	var conflict *types.ConflictException
	check(errors.As(err, &conflict) && *conflict.Message != "", err)
	_, err = client.RegisterGameServer(ctx, &gamelift.RegisterGameServerInput{
		GameServerGroupName: local, GameServerId: other, InstanceId: instance})
	must(err)
	described, err := client.DescribeGameServer(ctx,
		&gamelift.DescribeGameServerInput{GameServerGroupName: local, GameServerId: one})
	must(err)
	check(*described.GameServer.ConnectionInfo == "localhost:5000", described)
	ids := ""
	pages := gamelift.NewListGameServersPaginator(client, &gamelift.ListGameServersInput{
		GameServerGroupName: local, Limit: aws.Int32(1), SortOrder: types.SortOrderDescending})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		must(err)
		for _, each := range page.GameServers {
			ids += *each.GameServerId + " "
		}
	}
	check(ids == "srv-2 srv-1 ", ids)

	claimed, err := client.ClaimGameServer(ctx, &gamelift.ClaimGameServerInput{GameServerGroupName: local})
	must(err)
	check(*claimed.GameServer.GameServerId == "srv-1", claimed)
	check(claimed.GameServer.ClaimStatus == types.GameServerClaimStatusClaimed, claimed)
	isNow(claimed.GameServer.LastClaimTime)
	_, err = client.ClaimGameServer(ctx,
		&gamelift.ClaimGameServerInput{GameServerGroupName: local, GameServerId: other})
	must(err)
	_, err = client.ClaimGameServer(ctx, &gamelift.ClaimGameServerInput{GameServerGroupName: local})
	var capacity *types.OutOfCapacityException
	check(errors.As(err, &capacity), err)
	updated, err := client.UpdateGameServer(ctx, &gamelift.UpdateGameServerInput{
		GameServerGroupName: local, GameServerId: one,
		UtilizationStatus: types.GameServerUtilizationStatusUtilized,
		HealthCheck:       types.GameServerHealthCheckHealthy})
	must(err)
	check(updated.GameServer.UtilizationStatus == types.GameServerUtilizationStatusUtilized, updated)
	check(updated.GameServer.ClaimStatus == "", updated)
	deregister := &gamelift.DeregisterGameServerInput{GameServerGroupName: local, GameServerId: one}
	_, err = client.DeregisterGameServer(ctx, deregister)
	must(err)
	_, err = client.DeregisterGameServer(ctx, deregister)
	var missing *types.NotFoundException
	check(errors.As(err, &missing), err)

	group, err := client.CreateGameServerGroup(ctx, &gamelift.CreateGameServerGroupInput{
		GameServerGroupName: created, RoleArn: aws.String("arn:aws:iam::000000000000:role/FleetIQ"),
		MinSize: aws.Int32(0), MaxSize: aws.Int32(1),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("game")},
		InstanceDefinitions: []types.InstanceDefinition{
			{InstanceType: "c5.large"}, {InstanceType: "c5a.large"}},
		Tags: []types.Tag{{Key: aws.String("game"), Value: aws.String("echo")}}})
	must(err)
	isNow(group.GameServerGroup.CreationTime)
	arn := group.GameServerGroup.GameServerGroupArn
	_, err = client.DescribeGameServerGroup(ctx,
		&gamelift.DescribeGameServerGroupInput{GameServerGroupName: created})
	must(err)
	_, err = client.UpdateGameServerGroup(ctx, &gamelift.UpdateGameServerGroupInput{
		GameServerGroupName: created, BalancingStrategy: types.BalancingStrategySpotOnly})
	must(err)
	actions := []types.GameServerGroupAction{types.GameServerGroupActionReplaceInstanceTypes}
	_, err = client.SuspendGameServerGroup(ctx,
		&gamelift.SuspendGameServerGroupInput{GameServerGroupName: created, SuspendActions: actions})
	must(err)
	resumed, err := client.ResumeGameServerGroup(ctx,
		&gamelift.ResumeGameServerGroupInput{GameServerGroupName: created, ResumeActions: actions})
	must(err)
	check(resumed.GameServerGroup.BalancingStrategy == types.BalancingStrategySpotOnly, resumed)
	groups, err := client.ListGameServerGroups(ctx, &gamelift.ListGameServerGroupsInput{})
	must(err)
	check(len(groups.GameServerGroups) == 2, groups)

	_, err = client.TagResource(ctx, &gamelift.TagResourceInput{ResourceARN: arn,
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("")}}})
	must(err)
	_, err = client.UntagResource(ctx, &gamelift.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"game"}})
	must(err)
	tags, err := client.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: arn})
	must(err)
	check(len(tags.Tags) == 1 && *tags.Tags[0].Key == "team", tags)
	_, err = client.ListTagsForResource(ctx,
		&gamelift.ListTagsForResourceInput{ResourceARN: aws.String(*arn + "-other")})
	check(errors.As(err, &missing), err)
	deleted, err := client.DeleteGameServerGroup(ctx, &gamelift.DeleteGameServerGroupInput{
		GameServerGroupName: local, DeleteOption: types.GameServerGroupDeleteOptionForceDelete})
	must(err)
	check(deleted.GameServerGroup.Status == types.GameServerGroupStatusDeleteScheduled, deleted)
	fmt.Println(aws.SDKName, aws.SDKVersion)
}
