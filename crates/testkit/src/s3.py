"""An S3 server for one test: says where it is and with which keys, does what it is told line by
line, and ends when nobody holds the other end of standard input any more."""

import json
import logging
import os
import sys
import threading
import urllib.request

import boto3
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
application = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, application, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.port}"


def client(service, key, secret):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )


# One user who may do everything; from then on nobody else may do anything.
iam = client("iam", "setup", "setup")
everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
iam.create_user(UserName="tests")
iam.put_user_policy(UserName="tests", PolicyName="everything", PolicyDocument=policy)
key = iam.create_access_key(UserName="tests")["AccessKey"]
strict = urllib.request.Request(
    f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
)
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(strict).read()
s3 = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
print(json.dumps({"url": url, "id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = getattr(s3, asked.pop("do"))(**asked)
        found = {found["Key"]: found["LastModified"].isoformat() for found in answer.get("Contents", [])}
        print(json.dumps({"keys": found}), flush=True)
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
os._exit(0)
