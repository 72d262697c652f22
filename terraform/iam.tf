# A role for each job, with what access.tf grants it and nothing else.

locals {
  catalog_objects = {
    for name in [var.lake_database, "default", "global_temp"] : name => [
      "${local.arn.catalog}:catalog",
      "${local.arn.catalog}:database/${name}",
      "${local.arn.catalog}:table/${name}/*",
    ]
  }

  read   = ["s3:GetObject"]
  write  = ["s3:PutObject", "s3:AbortMultipartUpload"] # who breaks an upload off takes its parts away
  delete = ["s3:DeleteObject"]

  object_access = {
    for job, granted in local.grants : job => {
      ReadRaw    = { actions = local.read, objects = [for name in granted.raw_read : "${local.arn.bucket.raw}/${name}"] }
      WriteRaw   = { actions = local.write, objects = [for name in granted.raw_write : "${local.arn.bucket.raw}/${name}"] }
      DeleteRaw  = { actions = local.delete, objects = [for name in granted.raw_delete : "${local.arn.bucket.raw}/${name}"] }
      ReadLake   = { actions = local.read, objects = [for name in granted.lake ? ["*"] : [] : "${local.star_arn}/${name}"] }
      WriteLake  = { actions = local.write, objects = [for name in granted.lake_write : "${local.star_arn}/${name}"] }
      DeleteLake = { actions = local.delete, objects = [for name in granted.lake_delete : "${local.star_arn}/${name}"] }
    }
  }

  statements = {
    for job, granted in local.grants : job => concat(
      [
        {
          Sid      = "OwnScriptAndPackages"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = ["${local.arn.bucket.artifacts}/scripts/*", "${local.arn.bucket.artifacts}/packages/*"]
        },
        {
          Sid      = "OwnScratch"
          Effect   = "Allow"
          Action   = concat(local.read, local.write, local.delete)
          Resource = ["${local.arn.bucket.artifacts}/jobs/${job}/*"]
        },
        {
          # Without it S3 says 403 where an object is not there, and not 404.
          Sid    = "ListBuckets"
          Effect = "Allow"
          Action = ["s3:ListBucket", "s3:GetBucketLocation"]
          Resource = concat(
            [local.arn.bucket.raw, local.arn.bucket.artifacts],
            granted.lake ? [local.arn.bucket.lake] : [],
          )
        },
        {
          Sid       = "DataKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = [aws_kms_key.this["data"].arn]
          Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
        },
        {
          Sid      = "OwnLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${local.arn.logs}:log-group:${contains(local.spark_jobs, job) ? local.log_prefix[job] : "/aws-glue/python-jobs"}/*"]
        },
        {
          # What became of it: retail_etl.workflow_run.
          Sid      = "TellWorkflowRun"
          Effect   = "Allow"
          Action   = ["glue:PutWorkflowRunProperties"]
          Resource = [for name in values(local.workflow_names) : "${local.arn.catalog}:workflow/${name}"]
        },
        {
          Sid       = "Metrics"
          Effect    = "Allow"
          Action    = ["cloudwatch:PutMetricData"]
          Resource  = ["*"]
          Condition = { StringEquals = { "cloudwatch:namespace" = concat(["Glue"], granted.metrics ? [local.name] : []) } }
        },
      ],
      [
        for sid, access in local.object_access[job] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = access.actions
          Resource = access.objects
        } if length(access.objects) > 0
      ],
      [
        for sid in granted.lease ? ["Lease"] : [] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject"]
          Resource = ["${local.arn.bucket.raw}/lease.json"]
        }
      ],
      [
        for sid in length(granted.starts) > 0 ? ["StartWorkflow"] : [] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = ["glue:StartWorkflowRun", "glue:GetWorkflowRuns"]
          Resource = [for file in granted.starts : "${local.arn.catalog}:workflow/${local.workflow_names[file]}"]
        }
      ],
      [
        for sid in granted.lake ? ["ReadCatalog"] : [] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables"]
          Resource = distinct(flatten(values(local.catalog_objects))) # Spark looks into default and global_temp too
        }
      ],
      [
        for sid in granted.catalog == "write" ? ["WriteCatalog"] : [] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = ["glue:CreateTable", "glue:UpdateTable"]
          Resource = local.catalog_objects[var.lake_database]
        }
      ],
      [
        for sid in length(granted.secrets) > 0 ? ["Secrets"] : [] : {
          Sid      = sid
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = [for name in granted.secrets : aws_secretsmanager_secret.this[name].arn]
        }
      ],
      [
        for sid in length(granted.secrets) > 0 ? ["SecretsKey"] : [] : {
          Sid       = sid
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = [aws_kms_key.this["secrets"].arn]
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
        }
      ],
      [for statement in local.network_statements : statement if local.in_vpc && contains(local.database_jobs, job)],
    )
  }

  # What Glue does in the job's name to give its workers network interfaces in the subnet.
  network_statements = [
    {
      Sid      = "Connection"
      Effect   = "Allow"
      Action   = ["glue:GetConnection"]
      Resource = ["${local.arn.catalog}:catalog", "${local.arn.catalog}:connection/${local.name}"]
    },
    {
      Sid    = "DescribeNetwork"
      Effect = "Allow"
      Action = [
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
        "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints",
      ]
      Resource = ["*"] # EC2 knows no narrower resource for them
    },
    {
      Sid    = "MakeInterface"
      Effect = "Allow"
      Action = ["ec2:CreateNetworkInterface"]
      Resource = [
        "${local.arn.ec2}:network-interface/*", "${local.arn.ec2}:security-group/*", "${local.arn.ec2}:subnet/${var.subnet_id}",
      ]
    },
    {
      Sid       = "RemoveInterface"
      Effect    = "Allow"
      Action    = ["ec2:DeleteNetworkInterface"]
      Resource  = ["${local.arn.ec2}:network-interface/*"]
      Condition = { StringLike = { "ec2:Subnet" = "${local.arn.ec2}:subnet/${var.subnet_id}" } }
    },
    {
      Sid       = "TagInterface"
      Effect    = "Allow"
      Action    = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource  = ["${local.arn.ec2}:network-interface/*"]
      Condition = { "ForAllValues:StringEquals" = { "aws:TagKeys" = ["aws-glue-service-resource"] } }
    },
  ]
}

resource "aws_iam_role" "job" {
  for_each = local.jobs

  name        = "${local.name}-${each.key}"
  description = "The Glue job ${each.key} of ${local.name}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "glue.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.arn.catalog}:*" }
      }
    }]
  })

  lifecycle {
    precondition {
      condition     = contains(keys(local.access), each.key)
      error_message = "The job ${each.key} has no entry in access.tf: say there what it reads and writes."
    }
  }
}

resource "aws_iam_role_policy" "job" {
  for_each = local.jobs

  name   = "access"
  role   = aws_iam_role.job[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })
}
