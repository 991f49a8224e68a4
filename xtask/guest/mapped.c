/* Writes to a file by a mapping, which the file system hears of when it asks: mapped FILE. Holds it until it is told to
   end, by the end of its input. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char text[8192];
    int file = count == 2 ? open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
    memset(text, 'a', sizeof text);
    if (file < 0 || write(file, text, sizeof text) != sizeof text || fsync(file) != 0)
        return 1;
    char *mapped = mmap(NULL, sizeof text, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        return 1;
    memset(mapped, 'm', sizeof text);
    puts("mapped");
    fflush(stdout);
    while (read(0, text, sizeof text) > 0)
        ;
    return 0;
}
