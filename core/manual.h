/* manual.h -- placeholder */
#pragma once
