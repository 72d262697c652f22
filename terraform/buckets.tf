# raw        the archive: JSON history and manifests. The only full copy, so none of that ever expires
# lake       the star's Iceberg tables; can be rebuilt from raw, and Iceberg keeps its own history
# artifacts  what jobs are made of, and their scratch space
# results    Athena's query results

locals {
  versioned = toset(["raw", "artifacts"])
}

resource "aws_s3_bucket" "this" {
  for_each = local.buckets

  bucket        = each.value
  force_destroy = !var.protect_data

  # So the key outlives them: where a bucket that holds data refuses to go, the key to it stays too.
  depends_on = [aws_kms_key.this]
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this["data"].arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.versioned

  bucket = aws_s3_bucket.this[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket     = each.value.id
  depends_on = [aws_s3_bucket_public_access_block.this]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Action    = "s3:*"
        Principal = "*"
        Resource  = [local.arn.bucket[each.key], "${local.arn.bucket[each.key]}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
      # What says that a stage is done is written once: S3 itself refuses a second time.
      [for statement in [{
        Sid       = "ManifestsAreWrittenOnce"
        Effect    = "Deny"
        Action    = "s3:PutObject"
        Principal = "*"
        Resource  = [for name in ["batches/*", "certificates/*", "lake.json"] : "${local.arn.bucket.raw}/${name}"]
        Condition = {
          Null = { "s3:if-none-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        }
      }] : statement if each.key == "raw"],
    )
  })
}

resource "aws_s3_bucket_lifecycle_configuration" "raw" {
  bucket     = aws_s3_bucket.this["raw"].id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  # Objects that are there stay there. What was deleted (a writer's temporary objects, what a crash left) can be had
  # back for a month.
  rule {
    id     = "deleted"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 30
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  # Copies, which a batch needs for minutes.
  rule {
    id     = "parsed"
    status = "Enabled"
    filter {
      prefix = "parsed/"
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Renewed twice a minute.
  rule {
    id     = "lease"
    status = "Enabled"
    filter {
      prefix = "lease.json"
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Manifests are small and read all the time; rows only by a rebuild.
  rule {
    id     = "rows-get-cold"
    status = "Enabled"
    filter {
      prefix = "raw/"
    }
    transition {
      days          = var.raw_cold_after_days
      storage_class = "STANDARD_IA"
    }
    transition {
      days          = var.raw_cold_after_days + 60
      storage_class = "GLACIER_IR"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket = aws_s3_bucket.this["lake"].id

  rule {
    id     = "uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  # Which files queries read, S3 sees better than we do.
  rule {
    id     = "files-get-cold"
    status = "Enabled"
    filter {}
    transition {
      days          = 30
      storage_class = "INTELLIGENT_TIERING"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "artifacts" {
  bucket     = aws_s3_bucket.this["artifacts"].id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  # Spark's event logs and temporary files.
  rule {
    id     = "scratch"
    status = "Enabled"
    filter {
      prefix = "jobs/"
    }
    expiration {
      days = var.log_retention_days
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "results" {
  bucket = aws_s3_bucket.this["results"].id

  rule {
    id     = "results"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
    expiration {
      days = var.query_results_days
    }
  }
}
