import type { Resource } from '../shared/operation';
import { access } from './access';
import { alert } from './alert';
import { crypto } from './crypto';
import { customApiCall } from './customApiCall';
import { email } from './email';
import { health } from './health';
import { incident } from './incident';
import { job } from './job';
import { jobGraph } from './jobGraph';
import { jobSchedule } from './jobSchedule';
import { log } from './log';
import { metric } from './metric';
import { secret } from './secret';
import { silence } from './silence';
import { suppression } from './suppression';
import { tenant } from './tenant';

/** As the editor lists them. n8n adds an entry named Custom API Call of its own, unless the list ends with one. */
export const resources: Resource[] = [
	email,
	access,
	alert,
	crypto,
	health,
	incident,
	job,
	jobGraph,
	jobSchedule,
	log,
	metric,
	secret,
	silence,
	suppression,
	tenant,
	customApiCall,
];
