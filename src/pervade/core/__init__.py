"""The ground floor: types, contracts, specs, the registry, run directories, errors. Imports nothing above it."""
