# What jobs are made of. The hash is in the key: a new version is a new object, and the old one goes when no job names it
# any more. So a job that starts in the midst of a deployment finds what it names.

locals {
  package_file   = "${path.module}/${var.package}"
  package_folder = dirname(local.package_file)

  # `make package` leaves what it did not build as null.
  described = fileexists(local.package_file) ? jsondecode(file(local.package_file)) : {}
  packages  = { for name in ["library", "dependencies", "python_shell"] : name => local.described[name] if try(local.described[name], null) != null }

  scripts      = toset([for job in values(local.jobs) : job.script])
  script_path  = { for script in local.scripts : script => "${path.module}/${var.jobs_folder}/${script}" }
  script_keys  = { for script, path in local.script_path : script => "scripts/${filesha256(path)}/${script}" }
  package_keys = { for name, package in local.packages : name => "packages/${package.sha256}/${package.file}" }
  package_uri  = { for name, key in local.package_keys : name => "s3://${local.buckets.artifacts}/${key}" }
}

resource "aws_s3_object" "script" {
  for_each = local.scripts

  bucket      = aws_s3_bucket.this["artifacts"].id
  key         = local.script_keys[each.key]
  source      = local.script_path[each.key]
  source_hash = filemd5(local.script_path[each.key])

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_versioning.this]

  lifecycle {
    create_before_destroy = true # jobs go over to the new one before the old one goes
  }
}

resource "aws_s3_object" "package" {
  for_each = local.packages

  bucket      = aws_s3_bucket.this["artifacts"].id
  key         = local.package_keys[each.key]
  source      = "${local.package_folder}/${each.value.file}"
  source_hash = each.value.sha256

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_versioning.this]

  lifecycle {
    create_before_destroy = true
    precondition {
      condition     = filesha256("${local.package_folder}/${each.value.file}") == each.value.sha256
      error_message = "${each.value.file} is not what ${var.package} says it is: run make package."
    }
  }
}
