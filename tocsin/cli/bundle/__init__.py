"""An archive that installs a gateway without internet."""
