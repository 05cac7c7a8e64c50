"""Where `diagnosis.durable` was until it had other users than artifacts."""

from diagnosis.durable import INCOMING, exclusive, put_folder, replace_file, sweep

__all__ = ["INCOMING", "exclusive", "put_folder", "replace_file", "sweep"]
