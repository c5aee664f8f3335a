/*
 * Preloaded into an agent, it says that files are on the disk when they are not: what a forgotten fsync would do. The
 * test of power cuts must notice.
 */
int fsync(int file)
{
	(void)file;
	return 0;
}

int fdatasync(int file)
{
	(void)file;
	return 0;
}
