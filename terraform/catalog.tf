# The star's Iceberg tables are made by the jobs, from the model. The raw zone's tables are Athena's view of the archive.

locals {
  star_arn = "${local.arn.bucket.lake}/${var.lake_database}"

  # From lib/retail_etl/model.py: make raw-tables
  raw_tables = jsondecode(file("${path.module}/raw_tables.json"))
}

resource "aws_glue_catalog_database" "star" {
  name         = var.lake_database
  description  = "The star: dimensions and facts as Iceberg tables, what was deleted, quarantine and quality results."
  location_uri = "s3://${local.buckets.lake}/${var.lake_database}"
}

resource "aws_glue_catalog_database" "raw" {
  name         = var.raw_database
  description  = "The archive: JSON as it was extracted, a partition for each batch."
  location_uri = "s3://${local.buckets.raw}/raw"
}

resource "aws_glue_catalog_table" "raw" {
  for_each = local.raw_tables

  name          = each.key
  description   = each.value.description
  database_name = aws_glue_catalog_database.raw.name
  table_type    = "EXTERNAL_TABLE"

  # No partition is ever registered: Athena computes them. Batch ids are dense, and begin at 1.
  parameters = {
    EXTERNAL                    = "TRUE"
    classification              = "json"
    compressionType             = "lz4"
    "projection.enabled"        = "true"
    "projection.batch_id.type"  = "integer"
    "projection.batch_id.range" = "1,${var.raw_batches}"
    "storage.location.template" = "s3://${local.buckets.raw}/raw/${each.key}/batch_id=$${batch_id}/"
  }

  partition_keys {
    name = "batch_id"
    type = "bigint"
  }

  storage_descriptor {
    location      = "s3://${local.buckets.raw}/raw/${each.key}/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
      parameters            = { "case.insensitive" = "false" }
    }

    dynamic "columns" {
      for_each = each.value.columns
      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.description
      }
    }
  }
}
