"""The errors that people meet. Each message says what was found, where, and what to do now."""


class RetailEtlError(Exception):
    """Everything that this platform raises on purpose; its text is meant to be shown as it is."""


class ConfigurationError(RetailEtlError):
    """An argument, a setting or a secret is missing or cannot be read."""


class DatabaseError(RetailEtlError):
    """A database cannot be reached, or refuses what it was asked."""


class StorageError(RetailEtlError):
    """An object of the lake cannot be read or written."""


class MetricsError(RetailEtlError):
    """CloudWatch cannot be reached, or refuses what was measured."""


class SparkError(RetailEtlError):
    """Spark could not do its work, and it was neither of our own code's errors nor a database's."""


class ContractError(RetailEtlError):
    """The source does not look as the model says."""


class StateError(RetailEtlError):
    """The lake, its manifests or the warehouse's ledger contradict each other, or somebody else holds them."""


class QualityError(RetailEtlError):
    """A quality gate found rows that break an expectation, and rejected the batch."""
