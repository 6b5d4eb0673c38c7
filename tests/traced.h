/* traced.h -- whether a test may trace its children */
#pragma once
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int may_trace(void)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 77 : 0);
    waitpid(pid, &status, 0);
    return status == 0;
}
