/* unselect.h -- the choices are forgotten
 *
 * The end of each include: the next one, in the same unit, starts from
 * nothing and may choose otherwise. */
#undef ALPS_
#undef ALPS_PASTE2_
#undef ALPS_PASTE_
#undef ALPS_NAME
#undef ALPS_BACKEND
#undef ALPS_POLICY
#undef ALPS_USER_BACKEND
#undef ALPS_USER_POLICY
#undef ALPS_FAULTS
#undef ALPS_FAULTS_
#undef ALPS_CORE_ONLY
#undef ALPS_BACKEND_TABLE_
#undef ALPS_POLICY_TABLE_
#undef ALPS_NATURAL_POLICY_
#undef ALPS_REFUSED_
