locals {
  # Each query's first two lines are its title and what it is for.
  queries = {
    for file in fileset("${path.module}/queries", "*.sql") : trimsuffix(file, ".sql") => {
      sql   = file("${path.module}/queries/${file}")
      lines = split("\n", file("${path.module}/queries/${file}"))
    }
  }
}

resource "aws_athena_workgroup" "this" {
  name          = local.name
  description   = "Queries on the star and on the archive."
  force_destroy = !var.protect_data

  configuration {
    enforce_workgroup_configuration    = true # a client's own settings count for nothing
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena_scan_limit_bytes

    engine_version {
      selected_engine_version = "Athena engine version 3" # which Iceberg's time travel needs
    }

    result_configuration {
      output_location       = "s3://${local.buckets.results}/"
      expected_bucket_owner = local.account_id

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = aws_kms_key.this["data"].arn
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each = local.queries

  name        = each.key
  description = trimprefix(try(each.value.lines[1], ""), "-- ")
  database    = aws_glue_catalog_database.star.name
  workgroup   = aws_athena_workgroup.this.id
  query       = each.value.sql
}
