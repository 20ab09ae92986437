# Helpers for the targets of this tree.

# The warnings of Postlude's own sources; never part of what a user's targets inherit.
function(postlude_warnings target)
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        target_compile_options(${target} PRIVATE
            -Wall -Wextra -Wpedantic -Wconversion -Woverloaded-virtual
            -Wextra-semi -Wcast-align)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC 12 finds strings in aggregates that it takes for uninitialized, and takes the memory of
        # Asio's coroutines for another's; there are no real ones.
        target_compile_options(${target} PRIVATE
            -Wno-maybe-uninitialized -Wno-mismatched-new-delete)
    endif()
    if(POSTLUDE_WERROR)
        set_target_properties(${target} PROPERTIES COMPILE_WARNING_AS_ERROR ON)
    endif()
endfunction()

# A program of this tree: it sees the private headers, and installs nothing.
function(postlude_program target)
    add_executable(${target} ${ARGN})
    target_link_libraries(${target} PRIVATE postlude::http)
    target_include_directories(${target} PRIVATE ${postlude_SOURCE_DIR}/middleware/src)
    postlude_warnings(${target})
endfunction()
