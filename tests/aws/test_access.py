"""Each job's role, as it was applied: what the job does it may do, and what it must not do nothing lets through."""

import pytest

from tests.aws.conftest import Deployment
from tests.aws.policies import Policy, overlap

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RAW, LAKE, ARTIFACTS = "raw", "lake", "artifacts"
WRITE, DELETE, READ = "s3:PutObject", "s3:DeleteObject", "s3:GetObject"

# Job → what it does: action, bucket, object. From the code: what a stage reads, writes and leaves behind.
DOES = {
    "extract": [
        (WRITE, RAW, "raw/payment/batch_id=7/part-0.txt.lz4"),
        (WRITE, RAW, "raw/payment/batch_id=7/_temporary/0/part-0.txt.lz4"),
        (DELETE, RAW, "raw/payment/batch_id=7/_temporary/0/part-0.txt.lz4"),
        (WRITE, RAW, "batches/7/claim.json"),
        (WRITE, RAW, "batches/7/extract.json"),
        (READ, RAW, "batches/6/transform.json"),
        (READ, RAW, "verdicts/batch_id=6/part-0.txt.lz4"),
        (READ, LAKE, "star/quarantine/data/0.parquet"),
    ],
    "quality_gate_raw": [
        (READ, RAW, "raw/payment/batch_id=7/part-0.txt.lz4"),
        (WRITE, RAW, "batches/7/quality_raw.json"),
        (WRITE, RAW, "batches/7/validation_raw.json"),
        (WRITE, RAW, "batches/7/rejected.json"),
        (WRITE, RAW, "verdicts/batch_id=7/part-0.txt.lz4"),
        (DELETE, RAW, "verdicts/batch_id=7/part-0.txt.lz4"),
        (WRITE, RAW, "parsed/batch_id=7/payment/0.parquet"),
        (WRITE, LAKE, "star/quality_result/data/0.parquet"),
        (WRITE, LAKE, "star/fact_payment/metadata/00001.metadata.json"),
    ],
    "transform": [
        (READ, RAW, "raw/staff/batch_id=3/part-0.txt.lz4"),
        (READ, RAW, "parsed/batch_id=7/payment/0.parquet"),
        (DELETE, RAW, "parsed/batch_id=7/payment/0.parquet"),
        (WRITE, RAW, "batches/7/transform.json"),
        (WRITE, LAKE, "star/fact_payment/data/0.parquet"),
        (DELETE, LAKE, "star/fact_payment/metadata/00001.metadata.json"),
    ],
    "quality_gate_star": [
        (READ, RAW, "raw/payment/batch_id=7/part-0.txt.lz4"),
        (WRITE, RAW, "batches/7/publish_intent.json"),
        (WRITE, RAW, "batches/7/publish.json"),
        (WRITE, RAW, "batches/7/validation_star.json"),
        (WRITE, RAW, "batches/7/rejected.json"),
        (WRITE, LAKE, "star/quality_result/data/0.parquet"),
        (WRITE, LAKE, "star/fact_payment/metadata/00001.metadata.json"),
    ],
    "load": [
        (READ, LAKE, "star/fact_payment/data/0.parquet"),
        (READ, RAW, "batches/7/publish.json"),
        (WRITE, RAW, "batches/7/load.json"),
        (WRITE, RAW, "lake.json"),
    ],
    "reconcile": [
        (READ, LAKE, "star/fact_payment/data/0.parquet"),
        (WRITE, RAW, "raw/payment/batch_id=8/part-0.txt.lz4"),
        (WRITE, RAW, "batches/8/extract.json"),
        (WRITE, RAW, "certificates/2026-01-01T00:00:00.000+00:00.expected.json"),
    ],
    "certify": [
        (READ, LAKE, "star/fact_payment/data/0.parquet"),
        (READ, RAW, "certificates/2026-01-01T00:00:00.000+00:00.expected.json"),
        (WRITE, RAW, "certificates/2026-01-01T00:00:00.000+00:00.json"),
    ],
    "rebuild": [
        (READ, RAW, "raw/payment/batch_id=1/part-0.txt.lz4"),
        (WRITE, LAKE, "star/fact_payment/data/0.parquet"),
    ],
    "maintain": [
        (DELETE, LAKE, "star/fact_payment/data/0.parquet"),
        (DELETE, RAW, "raw/payment/batch_id=7/part-0.txt.lz4"),
        (DELETE, RAW, "parsed/batch_id=7/payment/0.parquet"),
        (READ, RAW, "batches/7/publish.json"),
    ],
}

SECRETS = {
    "detect": {"production", "warehouse"},
    "extract": {"production"},
    "load": {"warehouse"},
    "reconcile": {"production", "warehouse"},
    "certify": {"warehouse"},
}

MEASURING = {"detect", "quality_gate_raw", "quality_gate_star", "load", "reconcile", "certify"}

EXTRACTING = ("extract", "reconcile")
PUBLISHING = ("quality_gate_star",)
WRITING_ROWS = ("transform", "quality_gate_star", "rebuild", "maintain")

# Action, bucket, objects → the only jobs that may do it.
ONLY = {
    (WRITE, RAW, "raw/*"): EXTRACTING,
    (WRITE, RAW, "batches/*/extract.json"): EXTRACTING,
    (WRITE, RAW, "batches/*/quality_raw.json"): ("quality_gate_raw",),
    (WRITE, RAW, "parsed/*"): ("quality_gate_raw",),
    (WRITE, RAW, "batches/*/transform.json"): ("transform",),
    (WRITE, RAW, "batches/*/publish.json"): PUBLISHING,
    (WRITE, RAW, "batches/*/load.json"): ("load",),
    (WRITE, RAW, "certificates/*"): ("reconcile", "certify"),
    (DELETE, RAW, "raw/payment/batch_id=7/part-0.txt.lz4"): ("maintain",),
    (DELETE, RAW, "batches/*"): (),
    (DELETE, RAW, "certificates/*"): (),
    (DELETE, RAW, "lake.json"): (),
    (WRITE, LAKE, "star/dim_staff/data/0.parquet"): WRITING_ROWS,
    (WRITE, LAKE, "star/fact_payment/data/0.parquet"): WRITING_ROWS,
    (DELETE, LAKE, "star/fact_payment/data/0.parquet"): ("maintain",),
    (WRITE, ARTIFACTS, "scripts/*"): (),
    (WRITE, ARTIFACTS, "packages/*"): (),
}

# Nobody does these, with anything.
NEVER = [
    "iam:*",
    "sts:AssumeRole",
    "kms:ScheduleKeyDeletion",
    "kms:PutKeyPolicy",
    "s3:DeleteObjectVersion",
    "s3:DeleteBucket*",
    "s3:PutBucket*",
    "s3:PutLifecycleConfiguration",
    "s3:PutObjectAcl",
    "secretsmanager:Put*",
    "secretsmanager:Delete*",
    "glue:DeleteTable",
    "glue:DeleteDatabase",
    "glue:UpdateJob",
    "glue:CreateJob",
    "glue:StartJobRun",
]


@pytest.fixture(scope="module")
def roles(deployment: Deployment) -> dict[str, Policy]:
    """Job → its role's policy. There are no others: a role has this one alone."""
    policies = {
        found["role"]: Policy.of(found["policy"]) for found in deployment.of_type("aws_iam_role_policy").values()
    }
    attached = deployment.of_type("aws_iam_role_policy_attachment")
    assert not attached
    return {job: policies[role] for job, role in deployment.outputs["roles"].items()}


def _object(deployment: Deployment, bucket: str, name: str) -> str:
    return f"arn:aws:s3:::{deployment.outputs['buckets'][bucket]}/{name}"


def test_every_job_is_known_here(roles: dict[str, Policy]) -> None:
    assert set(roles) <= DOES.keys() | {"detect"}


def test_a_job_may_do_what_it_does(deployment: Deployment, roles: dict[str, Policy]) -> None:
    refused = [
        (job, action, name)
        for job, done in DOES.items()
        if job in roles
        for action, bucket, name in [*done, (READ, RAW, "lease.json"), (WRITE, RAW, "lease.json")]
        if not roles[job].allows(action, _object(deployment, bucket, name))
    ]
    assert refused == []


@pytest.mark.parametrize(("action", "bucket", "names"), ONLY)
def test_others_may_not(deployment: Deployment, roles: dict[str, Policy], action: str, bucket: str, names: str) -> None:
    may = {job for job, policy in roles.items() if policy.reaches(action, _object(deployment, bucket, names))}
    assert may == set(ONLY[action, bucket, names]) & roles.keys()


def test_who_extracts_deletes_nothing_but_what_spark_has_not_finished(
    deployment: Deployment, roles: dict[str, Policy]
) -> None:
    for job in EXTRACTING:
        deletes = [one for one in roles[job].statements if DELETE in one["Action"] and one["Sid"] != "OwnScratch"]
        deleted = [name for statement in deletes for name in statement["Resource"] if ":::" in name]
        raw = [name for name in deleted if overlap(name, _object(deployment, RAW, "*"))]
        assert raw == [_object(deployment, RAW, "raw/*/_temporary/*")]


def test_each_job_reads_the_secrets_of_its_databases_and_no_other(
    deployment: Deployment, roles: dict[str, Policy]
) -> None:
    secrets = {found["name"]: found["arn"] for found in deployment.of_type("aws_secretsmanager_secret").values()}
    key = deployment.of_type("aws_kms_key")['aws_kms_key.this["secrets"]']["arn"]
    through = {"kms_ViaService": "secretsmanager.eu-west-2.amazonaws.com"}
    for job, policy in roles.items():
        read = {
            purpose
            for purpose, name in deployment.outputs["secrets"].items()
            if policy.reaches("secretsmanager:GetSecretValue", secrets[name])
        }
        assert read == SECRETS.get(job, set()), job
        assert bool(policy.reaches("kms:*", key)) == bool(read), job
        assert policy.allows("kms:Decrypt", key, **through) == bool(read), job
        assert not policy.allows("kms:Decrypt", key, kms_ViaService="s3.eu-west-2.amazonaws.com"), job


@pytest.mark.parametrize("action", NEVER)
def test_no_job_may_do_what_none_does(roles: dict[str, Policy], action: str) -> None:
    assert {job: found for job, policy in roles.items() if (found := policy.reaches(action, "*"))} == {}


def test_only_detect_starts_a_workflow_and_only_its_own(deployment: Deployment, roles: dict[str, Policy]) -> None:
    starting = {job: policy for job, policy in roles.items() if policy.reaches("glue:StartWorkflowRun", "*")}
    assert set(starting) == {"detect"} & roles.keys()
    for policy in starting.values():
        for file, name in deployment.outputs["workflows"].items():
            arn = f"arn:aws:glue:eu-west-2:123456789012:workflow/{name}"
            assert policy.allows("glue:StartWorkflowRun", arn) == (file == "pipeline")


def test_metrics_go_to_no_namespace_but_glues_and_ours(deployment: Deployment, roles: dict[str, Policy]) -> None:
    ours = deployment.outputs["name"]
    for job, policy in roles.items():
        assert policy.allows("cloudwatch:PutMetricData", "*", cloudwatch_namespace="Glue"), job
        assert not policy.allows("cloudwatch:PutMetricData", "*", cloudwatch_namespace="AWS/Billing"), job
    measuring = {
        job for job, p in roles.items() if p.allows("cloudwatch:PutMetricData", "*", cloudwatch_namespace=ours)
    }
    told = {job for job, values in _arguments(deployment).items() if "--metrics_namespace" in values}
    assert told <= measuring <= MEASURING


def _arguments(deployment: Deployment) -> dict[str, dict[str, str]]:
    jobs = {name: job for job, name in deployment.outputs["jobs"].items()}
    return {jobs[found["name"]]: found["default_arguments"] for found in deployment.of_type("aws_glue_job").values()}


def test_everything_is_named_but_where_aws_knows_no_names(roles: dict[str, Policy]) -> None:
    for job, policy in roles.items():
        for statement in policy.statements:
            assert not any(action in ("*", "s3:*", "kms:*", "glue:*") for action in statement["Action"]), job
            if "*" in statement["Resource"]:
                assert statement["Sid"] in ("Metrics", "DescribeNetwork"), (job, statement["Sid"])


def test_no_policy_is_longer_than_iam_takes(deployment: Deployment) -> None:
    assert max(len(found["policy"]) for found in deployment.of_type("aws_iam_role_policy").values()) <= 10_240


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/*", "a/b/c", True),
        ("a/*/c", "a/b", False),
        ("a/*/c.json", "a/*/*", True),
        ("star/*/metadata/*", "star/fact_x/data/0.parquet", False),
        ("star/*/metadata/*", "star/*/data/*.parquet", True),  # star/x/metadata/data/0.parquet
        ("raw/?", "raw/ab", False),
        ("*", "", True),
        ("", "a", False),
    ],
)
def test_patterns_overlap_where_a_text_matches_both(one: str, other: str, *, expected: bool) -> None:
    assert overlap(one, other) == expected
    assert overlap(other, one) == expected
