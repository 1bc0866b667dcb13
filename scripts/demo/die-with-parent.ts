// Loaded into every child of the demo (--import): when the parent is gone, however it ended, so is the child.
if (process.channel) {
  process.on('disconnect', () => process.exit(process.exitCode ?? 1));
  // Listening must not keep a child alive that has nothing left to do.
  process.channel.unref();
}
