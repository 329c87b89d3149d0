// The credential provider of the AWS SDK for JavaScript v3, against the local FleetIQ at the endpoint variable.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";

const credentials = await fromInstanceMetadata()();
assert.equal(credentials.accessKeyId, "local");
assert.equal(credentials.sessionToken, "local");
assert(credentials.expiration > new Date(), credentials.expiration);

const { version } = createRequire(import.meta.url)("@aws-sdk/credential-providers/package.json");
console.log(`@aws-sdk/credential-providers ${version}, node ${process.version}`);
