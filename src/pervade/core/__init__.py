"""The ground floor: types, protocols, specs, the registry, run directories, errors. Imports nothing above it."""
