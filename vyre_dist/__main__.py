"""`python -m vyre_dist`: the same as the command vyre-dist."""

from vyre_dist.import_path import leave_out_start_folder

if __name__ == "__main__":
    leave_out_start_folder()

    from vyre_dist.cli.main import main

    main()
