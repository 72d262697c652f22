output "name" {
  description = "What all names begin with; also the namespace of the metrics."
  value       = local.name
}

output "region" {
  description = "Where it is."
  value       = var.region
}

output "protect_data" {
  description = "Whether make destroy refuses."
  value       = var.protect_data
}

output "lake" {
  description = "What the commands of scripts/etl.py take as --lake: the raw zone with its manifests."
  value       = "s3://${local.buckets.raw}"
}

output "buckets" {
  description = "Purpose → bucket."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.id }
}

output "lake_database" {
  description = "The Data Catalog database of the star."
  value       = aws_glue_catalog_database.star.name
}

output "raw_database" {
  description = "The Data Catalog database of the raw zone's tables."
  value       = aws_glue_catalog_database.raw.name
}

output "workflows" {
  description = "File of glue_jobs (pipeline, reconcile …) → its Glue workflow."
  value       = { for name, workflow in aws_glue_workflow.this : name => workflow.name }
}

output "jobs" {
  description = "Job of the JSON → its Glue job."
  value       = { for name, job in aws_glue_job.this : name => job.name }
}

output "triggers" {
  description = "<file>/<trigger of the JSON> → its Glue trigger."
  value       = { for name, trigger in aws_glue_trigger.this : name => trigger.name }
}

output "roles" {
  description = "Job of the JSON → its role."
  value       = { for name, role in aws_iam_role.job : name => role.name }
}

output "secrets" {
  description = "production and warehouse → the secret's name."
  value       = { for purpose, secret in aws_secretsmanager_secret.this : purpose => secret.name }
}

output "log_groups" {
  description = "Job → the log group in which our code writes."
  value       = { for job in local.spark_jobs : job => aws_cloudwatch_log_group.job["${job}/output"].name }
}

output "athena_workgroup" {
  description = "The workgroup for queries."
  value       = aws_athena_workgroup.this.name
}

output "alarm_topic" {
  description = "ARN of the SNS topic that alarms go to."
  value       = aws_sns_topic.alarms.arn
}

output "dashboard" {
  description = "The CloudWatch dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${local.name}"
}
