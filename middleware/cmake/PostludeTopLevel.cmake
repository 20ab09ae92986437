# What concerns only whoever works on Postlude itself, not a project that contains it.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)

if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(POSTLUDE_CCACHE ccache)
    mark_as_advanced(POSTLUDE_CCACHE)
    if(POSTLUDE_CCACHE)
        # Without this, ccache refuses every source that has a precompiled header.
        set(CMAKE_CXX_COMPILER_LAUNCHER
            ${CMAKE_COMMAND} -E env
            CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
            ${POSTLUDE_CCACHE})
        if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
            add_compile_options(-fpch-preprocess)
        elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
            add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
        endif()
    endif()
endif()

if(POSTLUDE_SANITIZE)
    add_compile_options(-fsanitize=${POSTLUDE_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${POSTLUDE_SANITIZE})
    if(POSTLUDE_SANITIZE MATCHES "undefined")
        # It opens a pipe to see whether memory can be read, and takes every object for a broken
        # one where no file descriptor is left, which a test of the server is about.
        add_compile_options(-fno-sanitize=vptr)
    endif()
    if(POSTLUDE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC warns of every fence, those in moodycamel's queue too; tests/support/tsan.supp
        # is where a report that comes from one is dealt with.
        add_compile_options(-Wno-tsan)
    endif()
endif()
