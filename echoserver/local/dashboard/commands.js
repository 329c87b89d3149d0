// The commands that do what the buttons do, for a shell, the AWS CLI and Python.

const DEFAULT_URL = "http://127.0.0.1:4570";

export function commandsOf(server) {
  const url = location.origin;
  const group = server.GameServerGroupName;
  const id = server.GameServerId;
  const place = url === DEFAULT_URL ? "" : ` --endpoint-url ${url}`;
  const fleetiq = `fleetiq${place}${group === "local" ? "" : ` --group ${group}`}`;
  const aws = (operation, more = "") =>
    `AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws gamelift ${operation} --endpoint-url ${url} \\\n` +
    `  --region us-east-1 --game-server-group-name ${group} --game-server-id ${id}${more}`;
  const names = `GameServerGroupName="${group}", GameServerId="${id}"`;
  const utilized = " --utilization-status UTILIZED --health-check HEALTHY";
  const instance = server.InstanceId;
  return {
    fleetiq: [
      { what: "claim", text: `${fleetiq} claim ${id}` },
      { what: "play", text: `${fleetiq} play --id ${id}` },
      { what: "utilize", text: `${fleetiq} update --utilized --healthy ${id}` },
      { what: "healthy", text: `${fleetiq} update --healthy ${id}` },
      { what: "deregister", text: `${fleetiq} deregister --yes ${id}` },
      { what: "interrupt", text: `fleetiq${place} local interrupt ${instance}` },
    ],
    aws: [
      { what: "claim", text: aws("claim-game-server") },
      { what: "utilize", text: aws("update-game-server", utilized) },
      { what: "healthy", text: aws("update-game-server", " --health-check HEALTHY") },
      { what: "deregister", text: aws("deregister-game-server") },
    ],
    boto3: [
      {
        what: "client",
        text: "import boto3\n\ngamelift = boto3.client(\n" +
          `    "gamelift", endpoint_url="${url}", region_name="us-east-1",\n` +
          '    aws_access_key_id="local", aws_secret_access_key="local",\n)',
      },
      { what: "claim", text: `gamelift.claim_game_server(\n    ${names}\n)` },
      { what: "utilize", text: `gamelift.update_game_server(\n    ${names},\n    UtilizationStatus="UTILIZED", HealthCheck="HEALTHY",\n)` },
      { what: "healthy", text: `gamelift.update_game_server(\n    ${names}, HealthCheck="HEALTHY"\n)` },
      { what: "deregister", text: `gamelift.deregister_game_server(\n    ${names}\n)` },
    ],
  };
}
