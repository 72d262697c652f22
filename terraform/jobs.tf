# A Glue job for each job of the workflows' JSON.

locals {
  # Session settings are said once, for Glue and for a laptop; where the catalog is, differs.
  spark_settings = merge(jsondecode(file("${path.module}/${var.jobs_folder}/../lib/retail_etl/spark-settings.json")), {
    "spark.sql.catalog.lake.catalog-impl" = "org.apache.iceberg.aws.glue.GlueCatalog"
    "spark.sql.catalog.lake.io-impl"      = "org.apache.iceberg.aws.s3.S3FileIO"
    "spark.sql.catalog.lake.warehouse"    = "s3://${local.buckets.lake}/"
  })

  # A Glue job has one --conf: further settings stand in its value.
  spark_conf = join(" --conf ", [for name, value in local.spark_settings : "${name}=${value}"])

  scratch = { for job in keys(local.jobs) : job => "s3://${local.buckets.artifacts}/jobs/${job}" }

  spark_arguments = {
    for job in local.spark_jobs : job => merge(
      {
        "--conf"                         = local.spark_conf
        "--custom-logGroup-prefix"       = local.log_prefix[job]
        "--datalake-formats"             = "iceberg"
        "--enable-auto-scaling"          = "true"
        "--enable-job-insights"          = "true"
        "--enable-metrics"               = "true"
        "--enable-observability-metrics" = "true"
        "--enable-spark-ui"              = "true"
        "--extra-py-files"               = try(local.package_uri["library"], "")
        "--job-bookmark-option"          = "job-bookmark-disable" # a fence is no bookmark: docs/decisions/0003
        "--spark-event-logs-path"        = "${local.scratch[job]}/spark-events/"
      },
      # The pinned wheels, from our own bucket: a job's start needs no internet.
      contains(keys(local.package_uri), "dependencies") ? {
        "--additional-python-modules"       = local.package_uri["dependencies"]
        "--python-modules-installer-option" = "--no-index"
      } : {},
    )
  }

  shell_arguments = {
    for job in setsubtract(keys(local.jobs), local.spark_jobs) : job => {
      "--extra-py-files" = try(local.package_uri["python_shell"], "")
      "--library-set"    = "analytics" # which has boto3
    }
  }

  job_arguments = {
    for job, definition in local.jobs : job => merge(
      { "--job-language" = "python", "--TempDir" = "${local.scratch[job]}/temp/" },
      lookup(local.spark_arguments, job, lookup(local.shell_arguments, job, {})),
      { for name, value in definition.arguments : name => value if value != "" }, # Glue does not keep empty values
    )
  }
}

resource "aws_glue_job" "this" {
  for_each = local.jobs

  name         = "${local.name}-${each.key}"
  description  = each.value.description
  role_arn     = aws_iam_role.job[each.key].arn
  glue_version = each.value.type == "spark" ? each.value.glue_version : null
  timeout      = each.value.timeout_minutes
  max_retries  = each.value.max_retries
  connections  = local.in_vpc && contains(local.database_jobs, each.key) ? [aws_glue_connection.databases[0].name] : []

  worker_type       = each.value.type == "spark" ? each.value.worker_type : null
  number_of_workers = each.value.type == "spark" ? max(each.value.number_of_workers, var.max_workers) : null
  max_capacity      = each.value.type == "spark" ? null : each.value.max_capacity
  execution_class   = each.value.type != "spark" ? null : lookup(each.value, "execution_class", "STANDARD")

  default_arguments = local.job_arguments[each.key]

  command {
    name            = each.value.type == "spark" ? "glueetl" : each.value.type
    python_version  = each.value.type == "spark" ? "3" : each.value.python_version
    script_location = "s3://${local.buckets.artifacts}/${local.script_keys[each.value.script]}"
  }

  # Each workflow has one run at a time. Two that share a job may come to it at once: Glue would refuse the second one,
  # and its chain would end there; so it starts, and waits for the lake's lease.
  execution_property {
    max_concurrent_runs = local.workflows_of[each.key]
  }

  # A run begins when all of this is there.
  depends_on = [aws_iam_role_policy.job, aws_s3_object.script, aws_s3_object.package, aws_cloudwatch_log_group.job]

  lifecycle {
    precondition {
      condition     = contains(keys(local.packages), each.value.type == "spark" ? "library" : "python_shell")
      error_message = "${var.package} names no ${each.value.type == "spark" ? "library" : "python_shell"}: run make package."
    }
    precondition {
      condition     = contains(["spark", "pythonshell"], each.value.type)
      error_message = "The type of the job ${each.key} is neither spark nor pythonshell."
    }
  }
}
