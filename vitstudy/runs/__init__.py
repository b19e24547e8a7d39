"""How a spec becomes a finished directory: store, leases, one run start to finish, workers and the launcher."""
