# Two keys: a role that may read data may not read secrets by that.

resource "aws_kms_key" "this" {
  for_each = {
    data    = "Buckets, logs, alarms and query results of ${local.name}."
    secrets = "The databases' secrets of ${local.name}."
  }

  description             = each.value
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "IamDecides"
        Effect    = "Allow"
        Action    = "kms:*"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Resource  = "*"
      }],
      [for statement in [
        {
          Sid       = "Logs"
          Effect    = "Allow"
          Action    = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
          Principal = { Service = "logs.${var.region}.amazonaws.com" }
          Resource  = "*"
          Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "${local.arn.logs}:log-group:${local.log_root}/*" } }
        },
        {
          Sid       = "Alarms"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
          Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
          Resource  = "*"
          Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
        },
      ] : statement if each.key == "data"],
    )
  })
}

resource "aws_kms_alias" "this" {
  for_each = aws_kms_key.this

  name          = "alias/${local.name}-${each.key}"
  target_key_id = each.value.key_id
}
