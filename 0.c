/* hello.c -- a program that remembers how often it has run */
@HELLO@
