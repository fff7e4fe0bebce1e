"""The sub-commands of `tocsin vision`, one file each."""
