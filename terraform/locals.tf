locals {
  name       = "${var.project}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  buckets = { for purpose in ["raw", "lake", "artifacts", "results"] : purpose => "${local.name}-${purpose}-${local.account_id}" }

  secrets = { for purpose in ["production", "warehouse"] : purpose => "${local.name}/${purpose}" }

  in_vpc = var.vpc_id != ""

  arn = {
    bucket    = { for purpose, name in local.buckets : purpose => "arn:${local.partition}:s3:::${name}" }
    catalog   = "arn:${local.partition}:glue:${var.region}:${local.account_id}"
    logs      = "arn:${local.partition}:logs:${var.region}:${local.account_id}"
    ec2       = "arn:${local.partition}:ec2:${var.region}:${local.account_id}"
    secrets   = "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}"
    glue_role = "arn:${local.partition}:iam::${local.account_id}:role"
  }
}
