# ---------------------------------------------------------------------------- where

variable "project" {
  description = "First part of every name."
  type        = string
  default     = "retail-etl"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.project))
    error_message = "project: 2 to 16 lower-case letters, digits and hyphens, a letter first (it is part of bucket names)."
  }
}

variable "environment" {
  description = "Second part of every name: one account may hold several environments."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment: 2 to 10 lower-case letters and digits, a letter first, as dev or prod."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: the name of an AWS region, as eu-west-2."
  }
}

variable "account_id" {
  description = "The only account in which this may be applied; empty: whichever the credentials are of."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9]{12})?$", var.account_id))
    error_message = "account_id: 12 digits, or empty."
  }
}

variable "tags" {
  description = "Further tags for every resource."
  type        = map(string)
  default     = {}
}

variable "protect_data" {
  description = "Whether make destroy refuses, and terraform destroy leaves buckets that hold data. Without it a throw-away environment goes away whole."
  type        = bool
  default     = true
}

# ---------------------------------------------------------------------------- what runs

variable "jobs_folder" {
  description = "The folder of the job scripts and of the workflows' *.json, from this folder."
  type        = string
  default     = "../glue_jobs"
}

variable "package" {
  description = "What `make package` built: a JSON file with path and sha256 of each archive, from this folder."
  type        = string
  default     = "../build/package.json"
}

variable "lake_database" {
  description = "The Data Catalog database of the star's Iceberg tables; the jobs make the tables in it."
  type        = string
  default     = "star"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.lake_database))
    error_message = "lake_database: lower-case letters, digits and underscores, a letter first (Athena takes no others)."
  }
}

variable "raw_database" {
  description = "The Data Catalog database of the raw zone's external tables."
  type        = string
  default     = "raw"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.raw_database))
    error_message = "raw_database: lower-case letters, digits and underscores, a letter first (Athena takes no others)."
  }
}

variable "job_variables" {
  description = "Values for the variables of the workflows' JSON (accept_deletions, source_time_zone, heal …) that differ from their defaults there."
  type        = map(string)
  default     = {}
}

variable "schedules" {
  description = "Workflow's name in its JSON → its cron expression here, where it differs from the JSON's."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : can(regex("^cron\\(([^ ]+ ){5}[^ ]+\\)$", schedule))])
    error_message = "schedules: each is cron(minutes hours day-of-month month day-of-week year), as cron(0/10 * * * ? *)."
  }
}

variable "schedules_enabled" {
  description = "Whether the schedules start anything. Without them workflows are started by hand, and missing batches raise no alarm."
  type        = bool
  default     = true
}

variable "max_workers" {
  description = "Most workers of a Spark job; auto scaling uses as many of them as it has work for. 0: what the JSON says."
  type        = number
  default     = 0

  validation {
    condition     = var.max_workers == 0 || (var.max_workers >= 2 && var.max_workers <= 100 && floor(var.max_workers) == var.max_workers)
    error_message = "max_workers: 0, or a whole number from 2 (a Spark job's least) to 100."
  }
}

# ---------------------------------------------------------------------------- network

variable "vpc_id" {
  description = "The VPC from which both databases are reached. Empty: jobs run outside of any VPC, and the databases are public."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(vpc-[0-9a-f]+)?$", var.vpc_id))
    error_message = "vpc_id: vpc-…, or empty."
  }
}

variable "subnet_id" {
  description = "The private subnet in which jobs that use a database get their network interfaces (a Glue connection has one)."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(subnet-[0-9a-f]+)?$", var.subnet_id)) && (var.subnet_id == "") == (var.vpc_id == "")
    error_message = "subnet_id: subnet-…, given exactly where vpc_id is."
  }
}

variable "availability_zone" {
  description = "The subnet's availability zone, which Glue wants to be told."
  type        = string
  default     = ""

  validation {
    condition     = (var.availability_zone == "") == (var.vpc_id == "")
    error_message = "availability_zone: given exactly where vpc_id is."
  }
}

variable "endpoint_subnet_ids" {
  description = "Subnets of the interface endpoints; empty: the jobs' own."
  type        = list(string)
  default     = []
}

variable "route_table_ids" {
  description = "Route tables of the subnets, for the S3 gateway endpoint."
  type        = list(string)
  default     = []
}

variable "database_security_group_ids" {
  description = "Security groups of the databases in the same VPC: each gets a rule that lets the jobs in."
  type        = set(string)
  default     = []
}

variable "database_cidr_blocks" {
  description = "Where jobs may reach PostgreSQL, besides those security groups (peered networks, an on-premises range)."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.database_cidr_blocks : can(cidrnetmask(block)) && block != "0.0.0.0/0"])
    error_message = "database_cidr_blocks: IPv4 CIDR blocks, and not all of the internet."
  }
}

variable "database_port" {
  description = "PostgreSQL's port."
  type        = number
  default     = 5432

  validation {
    condition     = var.database_port > 0 && var.database_port < 65536
    error_message = "database_port: from 1 to 65535."
  }
}

variable "s3_gateway_endpoint" {
  description = "Whether to make the S3 gateway endpoint; a VPC has one, so not where it is there."
  type        = bool
  default     = true
}

variable "interface_endpoints" {
  description = "AWS services to make interface endpoints for; leave those out that the VPC has, or all of them where it has a NAT."
  type        = set(string)
  default     = ["secretsmanager", "glue", "logs", "monitoring"]

  validation {
    condition     = length(setsubtract(var.interface_endpoints, ["secretsmanager", "glue", "logs", "monitoring", "kms", "sts"])) == 0
    error_message = "interface_endpoints: any of secretsmanager, glue, logs, monitoring, kms, sts."
  }
}

variable "service_cidr_blocks" {
  description = "Where jobs reach AWS services for which no endpoint is made here: the VPC's range where it has endpoints, 0.0.0.0/0 where it has a NAT."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.service_cidr_blocks : can(cidrnetmask(block))])
    error_message = "service_cidr_blocks: IPv4 CIDR blocks."
  }
}

# ---------------------------------------------------------------------------- keeping and watching

variable "log_retention_days" {
  description = "How long logs of jobs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: one of the values that CloudWatch takes (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 …)."
  }
}

variable "raw_cold_after_days" {
  description = "When raw objects go to Standard-IA; 60 days later they go to Glacier Instant Retrieval, which a rebuild still reads at once."
  type        = number
  default     = 30

  validation {
    condition     = var.raw_cold_after_days >= 30
    error_message = "raw_cold_after_days: at least 30 (S3 takes no less for Standard-IA)."
  }
}

variable "raw_batches" {
  description = "The greatest batch id that Athena looks for in the raw zone, where a query names no batch_id."
  type        = number
  default     = 100000

  validation {
    condition     = var.raw_batches >= 1
    error_message = "raw_batches: at least 1."
  }
}

variable "query_results_days" {
  description = "How long Athena's results are kept."
  type        = number
  default     = 14

  validation {
    condition     = var.query_results_days >= 1
    error_message = "query_results_days: at least 1."
  }
}

variable "alarm_emails" {
  description = "Who is told: each address gets a mail that it has to confirm."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alarm_emails: mail addresses."
  }
}

variable "fresh_within_minutes" {
  description = "How long there may be no sign that the lake is as new as the source before somebody is told."
  type        = number
  default     = 30

  validation {
    condition     = var.fresh_within_minutes >= 10 && var.fresh_within_minutes <= 1440 && var.fresh_within_minutes % 5 == 0
    error_message = "fresh_within_minutes: from 10 to 1440 (CloudWatch evaluates a day at most), in steps of 5."
  }
}

variable "quarantine_rows" {
  description = "How many rows of a table may be in quarantine before somebody is told."
  type        = number
  default     = 0

  validation {
    condition     = var.quarantine_rows >= 0
    error_message = "quarantine_rows: 0 or more."
  }
}

variable "athena_scan_limit_bytes" {
  description = "The most that one Athena query may scan."
  type        = number
  default     = 10737418240

  validation {
    condition     = var.athena_scan_limit_bytes >= 10485760
    error_message = "athena_scan_limit_bytes: at least 10485760 (10 MB, Athena's least)."
  }
}

variable "enable_quicksight" {
  description = "Whether to make the QuickSight data source, data sets and dashboard; the account needs a QuickSight subscription."
  type        = bool
  default     = false
}

variable "quicksight_principal" {
  description = "ARN of the QuickSight user or group that owns them."
  type        = string
  default     = ""

  validation {
    condition     = !var.enable_quicksight || can(regex("^arn:[a-z-]+:quicksight:[a-z0-9-]+:[0-9]{12}:(user|group)/", var.quicksight_principal))
    error_message = "quicksight_principal: arn:aws:quicksight:<region>:<account>:user/<namespace>/<name> (or group/…), where enable_quicksight is true."
  }
}
