include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/postlude)

set(targets postlude_asio postlude_core postlude_http)
if(TARGET postlude_asio_ssl)
    list(APPEND targets postlude_asio_ssl)
endif()
install(TARGETS ${targets}
    EXPORT postlude-targets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT postlude-targets NAMESPACE postlude:: DESTINATION ${package_dir})

foreach(part IN ITEMS mail sqlite postgres redis rabbitmq)
    if(TARGET postlude_${part})
        install(TARGETS postlude_${part}
            EXPORT postlude-${part}-targets
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
        install(EXPORT postlude-${part}-targets NAMESPACE postlude:: DESTINATION ${package_dir})
    endif()
endforeach()

configure_package_config_file(
    ${CMAKE_CURRENT_SOURCE_DIR}/cmake/postlude-config.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/postlude-config.cmake
    INSTALL_DESTINATION ${package_dir}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(
    ${CMAKE_CURRENT_BINARY_DIR}/postlude-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/postlude-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/postlude-config-version.cmake
    DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
