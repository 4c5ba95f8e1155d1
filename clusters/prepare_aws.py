"""What clusters/aws.yaml needs in an AWS account, made once: a bucket, two roles and a security group.

    python clusters/prepare_aws.py --region us-east-1 --bucket MY-BUCKET --ssh-from 203.0.113.7/32

In: your own credentials, as boto3 finds them, in an account with a default VPC. Out: the role `palenka-head`, which may
launch and end instances of the cluster and use the bucket; `palenka-worker`, which may use the bucket and nothing else,
since trials run there; a private bucket; the security group `palenka`, which admits SSH from your address only, and all
traffic among its own members. What is there already stays as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import ClientError

GROUP, HEAD, WORKER, CLUSTER = "palenka", "palenka-head", "palenka-worker", "palenka"


def bucket_statements(bucket: str) -> list[dict[str, Any]]:
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
        {
            "Effect": "Allow",
            "Action": ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
    ]


def head_statements(worker_role: str) -> list[dict[str, Any]]:
    """To launch workers, and to end instances of this cluster and no others."""
    return [
        {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "ec2:TerminateInstances",
            "Resource": "*",
            "Condition": {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": CLUSTER}},
        },
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": worker_role},
    ]


@contextmanager
def there_already(*codes: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def make_role(iam: Any, name: str, statements: list[dict[str, Any]]) -> str:
    """A role for instances, with its profile of the same name; returns its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with there_already("EntityAlreadyExists"):
        iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
    iam.put_role_policy(
        RoleName=name,
        PolicyName=name,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    with there_already("EntityAlreadyExists"):
        iam.create_instance_profile(InstanceProfileName=name)
    with there_already("LimitExceeded"):  # a profile holds one role
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(iam.get_role(RoleName=name)["Role"]["Arn"])


def make_bucket(s3: Any, bucket: str, region: str) -> None:
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with there_already("BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket=bucket, **place)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        ),
    )


def make_group(ec2: Any, ssh_from: str) -> None:
    """Ray finds the group by its name, and adds no rules of its own to one that has some."""
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise SystemExit("the account has no default VPC in this region; make one: aws ec2 create-default-vpc")
    of_name = [{"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}, {"Name": "group-name", "Values": [GROUP]}]
    with there_already("InvalidGroup.Duplicate"):
        ec2.create_security_group(GroupName=GROUP, Description="nodes of clusters/aws.yaml", VpcId=vpcs[0]["VpcId"])
    group = ec2.describe_security_groups(Filters=of_name)["SecurityGroups"][0]["GroupId"]
    within = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ssh_from}]}
    for rule in (within, ssh):
        with there_already("InvalidPermission.Duplicate"):
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prepare_aws", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--region", required=True)
    parser.add_argument("--bucket", required=True, help="its name; made if it is not yours yet")
    parser.add_argument("--ssh-from", required=True, metavar="CIDR", help="your address, such as 203.0.113.7/32")
    args = parser.parse_args(argv)
    session = boto3.Session(region_name=args.region)
    iam = session.client("iam")
    # what an account's first spot request needs and the head may not make; AWS calls one that is there InvalidInput
    with there_already("InvalidInput", "EntityAlreadyExists"):
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    bucket = bucket_statements(args.bucket)
    worker = make_role(iam, WORKER, bucket)
    make_role(iam, HEAD, [*head_statements(worker), *bucket])
    make_bucket(session.client("s3"), args.bucket, args.region)
    make_group(session.client("ec2"), args.ssh_from)
    print(f"ready: --storage s3://{args.bucket}/palenka; roles {HEAD} and {WORKER}, security group {GROUP}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
