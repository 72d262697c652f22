terraform {
  required_version = ">= 1.11, < 2.0" # its S3 backend locks by itself

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Which bucket is each account's own business: terraform init -backend-config=backend.hcl
  backend "s3" {
    key          = "retail-etl/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == "" ? null : [var.account_id]

  default_tags {
    tags = merge({ Project = var.project, Environment = var.environment, ManagedBy = "terraform" }, var.tags)
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}
